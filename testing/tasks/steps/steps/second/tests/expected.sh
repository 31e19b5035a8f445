STEP=second
EXPECTED=second
