"""Klausel for Django: lists (`q`) here, what guards views in `klausel.django.guards` and, for REST, `klausel.django.rest`."""

from klausel.django.lists import FilterError, q

__all__ = ["FilterError", "q"]
