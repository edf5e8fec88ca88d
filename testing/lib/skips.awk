# Prints the skipped tests of a section with their reasons: awk -f skips.awk LOG

# a section; node --test; cargo test; pytest -rs
/^skipped: / || /^ *﹣ .*# / || /^test .* \.\.\. ignored/ || /^SKIPPED \[/ {
  sub(/^skipped: /, "")
  sub(/^ *﹣ /, "")
  print "   skipped: " $0
}
