"""The child that judges one sealed document with pyHanko: `python -m broker.delegation.judge`.

Nothing of the broker imports what is in here: hostile bytes reach pyHanko in a confined process only.
"""
