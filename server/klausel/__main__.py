"""`python -m klausel` is the command `klausel`, where that is not on the path of the shell."""

from klausel.cli.main import main

if __name__ == "__main__":
    main(prog_name="klausel")
