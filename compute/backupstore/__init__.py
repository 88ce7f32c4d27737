"""Where backups are kept, and what one looks like there. No Django, no engine.

``store`` says what a place must be able to do, ``local`` and ``s3`` are two such places, ``crypt`` closes
what is put into them, and ``archive`` is the one layout of a backup: parts, and a manifest written last.
"""
