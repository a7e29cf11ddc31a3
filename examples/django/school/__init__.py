"""Quizzes and dashboards in Django: guarded views, a filtered list, REST."""
