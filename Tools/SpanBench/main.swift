print("spanbench")
