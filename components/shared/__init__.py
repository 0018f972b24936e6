"""What two or more steps really share: record format, manifests, whole output, command lines."""
