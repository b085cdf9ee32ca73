"""A server that answers by a programme and not by a model: `infertui mock-server`. Its figures are nobody's."""
