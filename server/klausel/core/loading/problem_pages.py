"""What each problem means and how it is fixed, at the length of a few lines; those of lint rules stand in their modules."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PROBLEM_PAGES: Mapping[str, str] = MappingProxyType(
    {
        "any-of-top-level": """
            `any R` means: holds R in at least one place below the top one. A role of the
            top level has no such places.

            Write the role without `any`, or a role of a lower level behind it.
            """,
        "assignment-rule": """
            A person of a policy test holds roles that nobody can be given: the rules of
            roles.yaml forbid them together, or ask for another role beside them. So the
            test would tell of somebody who cannot exist.

            Give the person the role that is missing, such as one at the level above. To
            test that such roles count for nothing when they are stored all the same, say
            `forbidden: true`; and do not say it of roles that anybody can be given.
            """,
        "bad-domain": """
            A place is written as the levels have it, from the top down, with slashes:
            `acme`, or `acme/support`. This one has too many parts, names another level
            than the one that is meant, or is several places in one text.

            Name each place by itself; several are a list where a list may stand.
            """,
        "bad-effect": """
            A grant allows or denies: in YAML by its key `allow:` or `deny:`, in CSV by
            its last field. Capital letters do not do.

            Write `allow` or `deny`, one of them.
            """,
        "bad-entity": """
            What a file says of a subject or a resource cannot be looked up: its type is
            not named under `stored` in properties.yaml, a property of it is not declared
            or has another type, or it lies where nothing can.

            Correct the value, or declare what it is. Numbers, `true` and `false` of a
            property that is a text stand in quotes.
            """,
        "bad-name": """
            Names of roles, types, actions, conditions and levels start with a letter, and
            go on with letters, digits, `_`, `-` and `.`; resource types and actions may be
            URNs, URLs or words with blanks between. Words of the language, such as `anyone`, `and` or `subject`, cannot be
            names.

            Choose another name, and write it wherever the old one stands.
            """,
        "byte-order-mark": """
            Three bytes that nobody sees stand before the first letter; some programs for
            Windows write them.

            Save the file as UTF-8 without BOM (in a spreadsheet: as CSV, then once more
            in a text editor).
            """,
        "condition-cycle": """
            A condition uses another one, and that uses the first again, maybe through
            others. Neither would ever have a value.

            Take one of the names out of the condition that should be the simpler one.
            """,
        "condition-syntax": """
            The text of a condition cannot be read at the place that is shown.

                when: resource.status == "published" and not context.maintenance

            Compare attributes with `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`; join with
            `and`, `or`, `not` and brackets. Texts and dates stand in quotes, numbers and
            `true` do not.
            """,
        "conflict-marker": """
            git could not join two changes and left both in the file, between the lines
            <<<<<<<, ======= and >>>>>>>.

            Keep what is right of the two sides and delete the three lines. Then check,
            and test, before you commit.
            """,
        "contains-higher-level": """
            A role may contain roles of its own level and of lower ones: whoever holds it
            above acts so in each place below. The other way round, somebody in one place
            below would get power over all that lies above it.

            Turn the link round, or let both roles contain a third one.
            """,
        "contradiction": """
            Two grants say the opposite about the same role, action, type, place and
            condition. The deny would win, and the allow would be read by people who
            believe it.

            Delete one of them, or say by `in:` or `when:` where they differ.
            """,
        "csv-comment": """
            In CSV a `#` starts a comment only at the beginning of a line.

            Put the comment on a line of its own, or the field in "quotes" where the sign
            belongs to it.
            """,
        "csv-field-count": """
            A row has another number of fields than its type, or an empty one that must
            say something.

                p, role, place, type, action, condition, allow
                g, role, contained role, *

            Everywhere is `*`, no condition is an empty field. A field with a comma in it
            stands in "quotes".
            """,
        "csv-quoting": """
            A field that starts with a quote ends with one, and a quote inside it is
            written twice.

                p, editor, *, document, view, "matches_glob(resource.name, ""a*"")", allow
            """,
        "csv-row-type": """
            A row starts with `p` (a grant) or `g` (a role contains a role); in small
            letters.
            """,
        "csv-separator": """
            The fields of the file are put apart by semicolons, tabs or bars, as
            spreadsheets write them in some countries.

            Put commas between them: save as CSV with commas, in UTF-8.
            """,
        "cut-text": """
            In a text without quotes, a `#` behind a blank starts a comment: `because: see
            ticket #12, approved` says only `see ticket`.

            Put the text in quotes. A comment that is meant begins with a blank, `# like
            this`, or stands on a line of its own above.
            """,
        "demo-people": """
            A row of demo/assignments.csv can be no role assignment, so that
            klausel serve --demo does not start: an unknown role, a domain of another
            level, a subject without a type, a field too many. Or each row can be, and
            the rules forbid all together: nobody holds a role with keep_one, somebody
            lacks a role above, or holds two that an invariant separates.

            Correct the row: subject,role,domain, such as user:ann,editor,acme/website.
            Or add the one that is missing.
            """,
        "deny-reaches-stronger-role": """
            A deny reaches everybody who holds the role, by inheritance too: a deny for
            `reader` also denies those whose role contains reader. Often only the weaker
            role was meant.

            Deny by a condition instead, or leave the grant out of the weaker role. Where
            it is meant, switch the warning off.
            """,
        "empty-file": """
            The file says nothing. Maybe its content was lost.

            Bring back what was in it, or delete it.
            """,
        "ends-before-it-starts": """
            The `until` of a grant is not later than its `from`, so that the grant would
            hold at no time.

            Write an `until` that is later, or leave one of them out.
            """,
        "former-name": """
            `was:` names what a role was called before. That name must not be a role of
            today, nor a former name of two roles: stored role assignments would mean two
            things.

            Take the name out of one of the places.
            """,
        "invariant-broken": """
            An invariant of invariants.yaml does not hold, so the service does not take
            the policies.

            `klausel prove` shows the smallest case that breaks it. Change the grant that
            it names, or the invariant, if that is wrong.
            """,
        "invisible-character": """
            A character stands here that people cannot see, or that turns round the order
            of what is shown: what is read and what is obeyed would be two things. It is a
            warning where the character takes no room and a text can have it, such as a zero
            width space or a soft hyphen, which come with what is copied from pages.

            Delete it; retype the word when in doubt. To keep it in a text:
            `# klausel: off invisible-character because <reason>` behind its line or above it.
            """,
        "later-folder": """
            Several policy folders are joined to one set, and one that is named later says
            something that an earlier one says already. It may only add: feature files,
            grants, roles, conditions, properties, tests, invariants. A role, a condition or
            a property that is there stays what it is; so do the levels, and what is stored.

            Choose a name of its own for what is new. What an earlier folder says is changed
            there.
            """,
        "level-naming": """
            Each level says how a request names it: by a property of the resource
            (`named_by`), by the id of a type (`identified_by`), by both, or by being
            always the same (`constant`).

            Say one of these, and `constant` not beside the others.
            """,
        "missing-file": """
            There is no such file or folder. A policy set is a folder with a roles.yaml in
            it.

            Go to the folder, or name it: `klausel check DIR`. `klausel init DIR` writes
            one to start from.
            """,
        "missing-key": """
            Something that must be said is not: a grant needs a role (`allow` or `deny`),
            an action (`to`) and a type (`resource`).

            Add the key that is named.
            """,
        "model-matcher": """
            The matcher in model.conf decides in the end, and this one is not the one that
            check, prove and diff reason about.

            Take the model that comes with Klausel: delete the file, or copy that of
            `klausel init`. Say rules as grants.
            """,
        "model-shape": """
            model.conf is not a model that the service can use: other fields, another
            effect, or not readable.

            Take the model that comes with Klausel: delete the file, or copy that of
            `klausel init`.
            """,
        "never-asked": """
            A test expects an answer for a person, an action or a thing that it does not
            ask about, so nothing would be tested.

            Add it to `people`, `actions` or `resource` of the test, or take the answer
            out.
            """,
        "no-order": """
            `<`, `<=`, `>` and `>=` stand beside a property that is declared as neither
            number nor time. Texts have no order: "999" would be more than "1000".

            Declare it as `number` or `time`, or compare it with `==` or `in`.
            """,
        "not-utf8": """
            The file holds bytes that are not UTF-8 from the place that is shown on.

            Save it as UTF-8.
            """,
        "ordered-texts": """
            `<`, `<=`, `>` and `>=` stand beside a text. Texts have no order that people
            would expect: letter by letter, "999" is more than "1000", and a moment is
            earlier or later than another by its time zone, not by its letters.

            Write numbers without quotes, and moments by the function for them.
            """,
        "orphaned-assignments": """
            People hold a role that these policies do not declare, or declare at another
            level. Under them they would lose it in silence.

            Bring the role back, or say `was:` with its old name on the one that replaces
            it, or revoke the role assignments first.
            """,
        "other-language": """
            The file is written for another product.

                grants:
                  - allow: editor
                    to: [view, edit]
                    resource: document
                    when: resource.owner == subject.id

            Say in this way who may do what; a rule that forbids is a grant with `deny`.
            """,
        "policy-test-failed": """
            A policy test expects another answer than the policies give, so the service
            does not take them.

            `klausel test` prints the question, both answers and the reason. Change the
            grant or the test, whichever is wrong.
            """,
        "repeated-key": """
            The same key stands twice, and YAML would keep only the last. In a list of
            grants, a dash before the second one is often what is missing.

            Keep one of them, or start another entry with a dash.
            """,
        "repeated-resource-type": """
            A resource type is declared once, in one file; any file may grant on it.

            Join the two declarations: all actions in one of them.
            """,
        "repeated-value": """
            The same value stands twice in a list, or two invariants have the same name.

            Delete one of them, or give it the name that was meant.
            """,
        "role-chain-too-long": """
            A role contains another over more than 10 links. Casbin would cut such a
            chain, and rights would vanish.

            Let the upper role contain a lower one directly.
            """,
        "role-cycle": """
            Two roles contain each other, maybe through others, so they would be one role.

            Take one of the links out.
            """,
        "subject-in-policy": """
            A person stands where a role belongs. Policies say what roles may do; who
            holds them is in the database.

            Use a role here, and give it to the person: `klausel assignments import`, or
            POST /v1/assignments.
            """,
        "too-many-entities": """
            All that files say of subjects and resources is read whenever the policies
            are, and a search looks at each. So they hold small sets, up to 1,000.

            Store the others in the database, with `klausel entities import`.
            """,
        "too-many-questions": """
            Each test asks about every one of its people, actions and resources, and so
            the tests of this file ask more than half a million questions. They are asked
            whenever the policies are loaded.

            Name fewer people, actions or resources in a test, or put tests into several
            files.
            """,
        "unknown-action": """
            The resource type does not have this action.

            Correct the name, or add it to the `actions` of the type.
            """,
        "unknown-attribute-root": """
            Attributes start with `subject` (who asks), `resource` (what about), `action`
            or `context` (all else).

                when: resource.owner == subject.id
            """,
        "unknown-condition": """
            No condition has this name. A word alone is the name of a condition; a text
            stands in quotes.

            Correct the name, declare it in conditions.yaml, or put the text in quotes.
            """,
        "unknown-file": """
            The file would be ignored, and all that it says with it: its name or its place
            has no meaning.

            Policies are roles.yaml, conditions.yaml, properties.yaml, invariants.yaml,
            entities.yaml, entities/*.yaml, features/*.yaml and *.csv, and tests/*_test.yaml.
            Move or rename the file; remarks go into Markdown (.md), which is left alone.
            """,
        "unknown-key": """
            The key has no meaning here, so what it says would be lost.

            Write one of those that the message lists.
            """,
        "unknown-level": """
            No level has this name; roles.yaml declares them under `levels`.
            """,
        "unknown-person": """
            The test names somebody who is not declared under `people` of the same file.
            """,
        "unknown-property": """
            Nothing is declared of this property, but of one that is called almost so; or
            it is a part of something that has no parts.

            Correct the name. If it is another property, declare it: under `properties` of
            its resource type, or in properties.yaml for subjects, actions and the context.
            """,
        "unknown-resource": """
            The test names a thing that is not declared under `resources` of the same
            file.
            """,
        "unknown-resource-type": """
            No file declares this type. Where it is the type that identifies a level,
            nothing can be asked about it, which is a warning.

            Correct the name, or declare the type with its actions under `resource_types`
            of a feature.
            """,
        "unknown-role": """
            No role has this name.

            Correct it, or declare the role in roles.yaml, with its level.
            """,
        "unlike-types": """
            What is compared is declared with different types, or a function is asked about
            what it does not take, so the condition would never be more than unknown.

            Compare what is of one type, or change a declaration.
            """,
        "unknown-value": """
            The property is declared as one of some texts, or the types of those who ask
            are declared, and this is none of them, so the comparison would never be true.

            Correct it, or add it to the declaration.
            """,
        "unknown-type": """
            A declaration names no type, or the id of a type that there is not. Types are `text`, `number`, `boolean`, `time`, a
            list of the texts that may be sent, `user id`, `list of text`, and parts with
            their own types.

                properties: {status: [draft, published], amount: number, owner: user id}
            """,
        "unread-key": """
            The key is declared, but nothing in Klausel reads it: it would be accepted and
            mean nothing. So the policies are refused.

            Remove the key. It is a fault of this version of Klausel; please report it.
            """,
        "unreadable-file": """
            The file is too large, nobody may read it, it is no regular file, or a link to
            no file or out of the folder.

            Put an ordinary file there, and give the reader access to it.
            """,
        "wrong-kind": """
            A text, a list or keys with values stand where one of the others belongs.

                to: edit            a text
                to: [edit, view]    a list
                grants:             a list, each entry with a dash
                  - allow: editor
            """,
        "wrong-value": """
            A value in a policy test is of another type than declared, so no request should
            send it.

            Correct it. To test what follows where it is sent all the same, say
            `undeclared: true`; and do not say it where everything is as declared.
            """,
        "yaml-feature": """
            Anchors (`&`), aliases (`*`), merge keys (`<<`), tags (`!`), several documents
            in one file and deep nesting are not used in policies: what stands in the file
            is what holds.

            Write the value out, and for a merge key the keys that it would bring; a text
            that starts with one of these signs stands in quotes.
            """,
        "yaml-syntax": """
            The file is not YAML from the place that is shown on; the fault may be in the
            line above.

            Check blanks behind colons and dashes, equal indents (with spaces), quotes and
            brackets that are closed.
            """,
    }
)
