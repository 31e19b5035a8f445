STEP=last
EXPECTED=last
