UCLA pl 1.0
a 0 0 : Q
