"""What may this client know?"""
