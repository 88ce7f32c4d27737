"""The pages. They only translate: forms into service calls, selectors into templates."""
