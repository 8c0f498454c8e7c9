UCLA pl 1.0
a 0 0 : N
b 10 0 : FN
m 40 20 : N
p 0 50 : N /FIXED
