"""Builds the images: the default appliance, the tiny guest of probes and tests, the layer of our own wheel.

Everything works on plain files: no loop device, no mount, no image tool that wants privileges of its own.
The data of a recipe (package lists, locks, files of the overlay) lies beside this package, in ``default/``
and ``tiny/``; the modules here only put it together.
"""
