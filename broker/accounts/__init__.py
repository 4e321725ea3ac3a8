"""Who is this resident to each service?"""
