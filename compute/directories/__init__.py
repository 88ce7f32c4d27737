"""What is asked of directories outside: who somebody is, and in which groups. No rights are decided here."""
