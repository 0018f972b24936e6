"""What earlier releases wrote, as today's code reads it; write.sh has a release write it."""
