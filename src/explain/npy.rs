//! NumPy's `.npy` files (format 1.0).

use super::map::Map;

/// The file of a map: float32, rows by columns, C order, little-endian.
pub fn file(map: &Map) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", map.height, map.width);
    // Magic, version, length and header fill a multiple of 64 bytes; the last one is a line's end.
    let filled = (10 + header.len() + 1).next_multiple_of(64) - 11;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((filled as u16 + 1).to_le_bytes());
    bytes.extend(format!("{header:<filled$}\n").bytes());
    bytes.extend(map.values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_numpys() {
        let bytes = file(&Map { width: 2, height: 1, values: vec![1.0, -2.0] });
        assert_eq!(bytes.len(), 128 + 8);
        assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        assert!(bytes[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }   "));
        assert_eq!(bytes[127..], [b'\n', 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }
}
