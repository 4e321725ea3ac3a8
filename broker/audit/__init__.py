"""Can it be denied later?"""
