"""What a command attached to a container needs of the computer it runs on."""
