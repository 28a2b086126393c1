"""What runs inside a machine: takes secrets over virtio-serial and starts the notebook server."""
