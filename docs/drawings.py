"""The pictures of how_it_works.md."""


def draw(folder):
    folder.mkdir(exist_ok=True)
