UCLA pl 1.0
a 0 0 : N
b 10 0 : FS
m 40 20 : E
p 0 50 : N /FIXED
q 1 1 : N /FIXED_NI
