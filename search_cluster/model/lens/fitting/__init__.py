"""Finding the translators of a tuned lens: in closed form, or by descent."""
