"""One training, started by an alarm that training can mend."""
