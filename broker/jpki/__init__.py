"""Who holds this card?"""
