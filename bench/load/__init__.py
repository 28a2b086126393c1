"""The controller under load: a process of its own, on libvirt's test driver, over HTTP on loopback."""
