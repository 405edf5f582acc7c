"""Texts of pages: their tables, headings, running heads and page numbers; how pages are joined to
documents, and compared with the text layer of their PDF."""
