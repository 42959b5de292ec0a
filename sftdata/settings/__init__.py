"""What a recipe says to each stage: frozen groups of settings, which the stages take and the recipe is made of."""
