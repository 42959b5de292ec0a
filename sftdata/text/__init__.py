"""What stages know about text: words, characters, languages, synonyms."""
