UCLA pl 1.0
a 0 0 : N
a 1 1 : N
