STEP=first
EXPECTED=first
