UCLA pl 1.0
a inf 0 : N
