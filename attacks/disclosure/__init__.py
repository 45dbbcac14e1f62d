"""Singling out, linking and inferring, in the sense of the opinion 05/2014 of the article 29 working party.

Each attack guesses something about a target; the suite says how often it was right for members and for held-out
units, and whether the difference is more than chance. What is guessed right about both alike is knowledge about
people in general: no generator that is of any use can prevent it.
"""

from attacks.disclosure.attributes import InferByLearning, InferByNearest
from attacks.disclosure.linkability import Linkability
from attacks.disclosure.singling_out import SinglingOut

__all__ = ["InferByLearning", "InferByNearest", "Linkability", "SinglingOut"]
