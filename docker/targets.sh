#!/bin/sh
# Prints the names of the images: the targets of the Dockerfile that have a title.
sed -n 's/.*image\.title=mnist-pipeline-\([a-z-]*\).*/\1/p' "$(dirname "$0")/Dockerfile"
