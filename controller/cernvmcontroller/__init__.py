"""The controller: the only process that talks to libvirt, and the only writer of the database."""
