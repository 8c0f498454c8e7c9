UCLA pl 1.0
a 0 0 : N
b 10 0 : N /FIXED
m 5 0 : N /FIXED
p 0 50 : N
