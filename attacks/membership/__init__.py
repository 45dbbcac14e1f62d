"""Was this person's row in the training data?"""
