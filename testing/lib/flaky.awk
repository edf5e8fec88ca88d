# Prints what failed and passed at the second try: awk -f flaky.awk LOG

# cargo-nextest: FLAKY 2/2 [   0.010s] (12/905) PROGRAM TEST
/^ *FLAKY [0-9]+\/[0-9]+ \[/ {
  sub(/^[^]]*\] */, "")
  sub(/^\([^)]*\) */, "")
  print
}

# the others
sub(/^FLAKY: /, "")
