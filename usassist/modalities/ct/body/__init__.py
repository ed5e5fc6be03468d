"""Body composition in CT: body wall, muscle and fat on transverse planes from T12 to L5."""
