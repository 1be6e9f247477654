"""Where does a try run?"""
