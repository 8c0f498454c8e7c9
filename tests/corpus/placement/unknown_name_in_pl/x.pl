UCLA pl 1.0
zebra 0 0 : N
