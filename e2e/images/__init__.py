"""Container images without a registry: file systems from Debian packages, image files from file systems.

    debian  a file system from packages, fetched and vouched for by this machine's apt
    oci     an image file that docker, podman and containerd all load
    tree    what Berth's image holds beside Python; the Dockerfile runs it too, so it needs the standard library only
    berth   Berth's image: by the Dockerfile where base images can be pulled, else assembled here

A registry is not a given where training clusters stand, and none is needed here.
"""
