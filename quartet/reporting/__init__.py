"""Scores, figures and the HTML report; nothing else imports matplotlib."""
