//! Kitty's pictures. They are packed, so that a slow line carries less, named, so that they can be taken away, and sent
//! without a question, whose answer would come among the keys. Inside tmux the picture is handed through to the terminal
//! around it, and cells that name it say where it is shown, so that tmux can move and clip them like text.
//!
//! <https://sw.kovidgoyal.net/kitty/graphics-protocol/>

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::MoveTo;
use ratatui::crossterm::queue;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::Raster;

/// A cell of a picture.
const PLACEHOLDER: char = '\u{10EEEE}';

/// Bytes of one order at most.
const CHUNK: usize = 4096;

/// The combining signs that stand for the numbers from 0: first sign and how many follow one another.
const NUMBERS: [(u32, u32); 43] = [
    (0x305, 1),
    (0x30d, 2),
    (0x310, 1),
    (0x312, 1),
    (0x33d, 3),
    (0x346, 1),
    (0x34a, 3),
    (0x350, 3),
    (0x357, 1),
    (0x35b, 1),
    (0x363, 13),
    (0x483, 5),
    (0x592, 4),
    (0x597, 3),
    (0x59c, 6),
    (0x5a8, 2),
    (0x5ab, 2),
    (0x5af, 1),
    (0x5c4, 1),
    (0x610, 8),
    (0x657, 5),
    (0x65d, 2),
    (0x6d6, 7),
    (0x6df, 4),
    (0x6e4, 1),
    (0x6e7, 2),
    (0x6eb, 2),
    (0x730, 1),
    (0x732, 2),
    (0x735, 2),
    (0x73a, 1),
    (0x73d, 1),
    (0x73f, 3),
    (0x743, 1),
    (0x745, 1),
    (0x747, 1),
    (0x749, 2),
    (0x7eb, 7),
    (0x7f3, 1),
    (0x816, 4),
    (0x81b, 9),
    (0x825, 3),
    (0x829, 5),
];

/// How a picture goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// To the terminal, which draws it at the cursor.
    Direct = 1,
    /// Through tmux, for cells that [`place`] lays.
    Tmux = 2,
}

/// The way of the picture that is shown; 0: none.
static SHOWN: AtomicU8 = AtomicU8::new(0);

/// The picture's number, which the cells name by a colour of the 256: those pass every tmux unchanged. Two programs in two
/// panes should not have the same one.
fn id() -> u8 {
    16 + (std::process::id() % 240) as u8
}

/// The sign of a number; beyond the table a cell goes on from its left neighbour.
fn sign(number: u16) -> Option<char> {
    let mut left = u32::from(number);
    for (first, count) in NUMBERS {
        if left < count {
            return char::from_u32(first + left);
        }
        left -= count;
    }
    None
}

/// Lays the cells.
pub fn place(area: Rect, buffer: &mut Buffer) {
    for position in area.positions() {
        let mut symbol = String::from(PLACEHOLDER);
        if let Some(row) = sign(position.y - area.y) {
            symbol.push(row);
            symbol.extend(sign(position.x - area.x));
        }
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
            cell.set_symbol(&symbol).set_fg(Color::Indexed(id()));
        }
    }
}

/// The payload of a picture.
pub fn pack(raster: &Raster) -> io::Result<String> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&raster.rgb)?;
    Ok(STANDARD.encode(packed.finish()?))
}

/// Sends the packed picture, which is shown in `area`.
pub fn send(raster: &Raster, packed: &str, area: Rect, way: Way, out: &mut impl Write) -> io::Result<()> {
    let place = match way {
        Way::Direct => {
            queue!(out, MoveTo(area.x, area.y))?;
            "C=1"
        }
        Way::Tmux => "U=1",
    };
    let (id, s, v) = (id(), raster.width, raster.height);
    let mut head = format!("a=T,{place},i={id},f=24,o=z,s={s},v={v},c={},r={},q=2,", area.width, area.height);
    SHOWN.store(way as u8, Ordering::SeqCst);
    let mut rest = packed;
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(rest.len().min(CHUNK));
        order(out, way, &format!("{head}m={};{chunk}", u8::from(!left.is_empty())))?;
        head.clear();
        rest = left;
    }
    out.flush()
}

/// Takes the picture away, if there is one; the cells in tmux are the diff's.
pub fn delete(out: &mut impl Write) -> io::Result<()> {
    let way = match SHOWN.swap(0, Ordering::SeqCst) {
        0 => return Ok(()),
        shown if shown == Way::Direct as u8 => Way::Direct,
        _ => Way::Tmux,
    };
    order(out, way, &format!("a=d,d=I,i={},q=2", id()))
}

/// One graphics order; in tmux in an envelope that it opens and passes on.
fn order(out: &mut impl Write, way: Way, order: &str) -> io::Result<()> {
    match way {
        Way::Direct => write!(out, "\x1b_G{order}\x1b\\"),
        Way::Tmux => write!(out, "\x1bPtmux;\x1b\x1b_G{order}\x1b\x1b\\\x1b\\"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_distinct_signs() {
        let signs: Vec<char> = (0..129).map(|n| sign(n).unwrap()).collect();
        assert!(signs.windows(2).all(|w| w[0] < w[1]) && sign(129).is_none());
        assert_eq!((signs[0], signs[4], signs[128]), ('\u{305}', '\u{312}', '\u{82d}'));
    }

    #[test]
    fn orders_are_wrapped_and_cut() {
        let mut noise = 1u32;
        let rgb = (0..3 * 64 * 64).map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        let raster = Raster { width: 64, height: 64, rgb: rgb.collect() };
        let sent = |way| {
            let mut sent = Vec::new();
            send(&raster, &pack(&raster).unwrap(), Rect::new(3, 4, 8, 4), way, &mut sent).unwrap();
            String::from_utf8(sent).unwrap()
        };
        let head = format!("\x1b[5;4H\x1b_Ga=T,C=1,i={},f=24,o=z,s=64,v=64,c=8,r=4,q=2,m=1;", id());
        assert!(sent(Way::Direct).starts_with(&head));
        let sent = sent(Way::Tmux);
        let orders: Vec<&str> = sent.split("\x1bPtmux;\x1b\x1b_G").skip(1).collect();
        assert_eq!(orders.len(), 5, "12 KiB of noise in base64");
        assert!(orders[0].starts_with(&format!("a=T,U=1,i={},f=24,o=z,s=64,v=64,c=8,r=4,q=2,m=1;", id())));
        assert!(orders[1].starts_with("m=1;") && orders[4].starts_with("m=0;"));
        assert!(orders.iter().all(|o| o.ends_with("\x1b\x1b\\\x1b\\")));
        let payload: String =
            orders.iter().map(|o| o.split_once(';').unwrap().1.trim_end_matches("\x1b\x1b\\\x1b\\")).collect();
        let mut back = Vec::new();
        let packed = STANDARD.decode(payload).unwrap();
        io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&packed[..]), &mut back).unwrap();
        assert!(back == raster.rgb);
    }

    #[test]
    fn every_cell_names_its_place() {
        let area = Rect::new(1, 1, 2, 2);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 4));
        place(area, &mut buffer);
        assert_eq!(buffer[(2, 1)].symbol(), "\u{10EEEE}\u{305}\u{30d}");
        assert_eq!(buffer[(1, 2)].symbol(), "\u{10EEEE}\u{30d}\u{305}");
        assert_eq!(buffer[(1, 2)].fg, Color::Indexed(id()));
    }
}
