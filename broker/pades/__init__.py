"""Where does a signature stand in a PDF? The room reserved for it, and how the card's CMS gets into it."""
