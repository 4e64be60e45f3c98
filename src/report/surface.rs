//! What figures are drawn on: an SVG or a PNG, through plotters' backends.

use std::sync::Once;

use image::{ExtendedColorType, ImageEncoder};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, RGBColor, register_font};

use super::escape;
use crate::error::{Error, Result};

/// Axes and words.
pub const INK: RGBColor = RGBColor(31, 36, 42);
/// What stands behind.
pub const FAINT: RGBColor = RGBColor(214, 219, 225);
/// Fills, in an order that stays apart for the colour-blind (Okabe & Ito 2008, darkened where too light for thin lines).
pub const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 160, 213),
    RGBColor(214, 150, 0),
    RGBColor(120, 94, 200),
    RGBColor(128, 133, 138),
];

/// Where a text lies of its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it, its middle at the point's height.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
    /// Around it, turned to read upwards.
    Upwards,
}

/// A point, pixels from the upper left corner.
pub type Point = (f64, f64);

/// Draws shapes; coordinates are pixels.
pub trait Surface {
    /// A line through `points`.
    fn line(&mut self, points: &[Point], colour: RGBColor, width: u32) -> Result<()>;
    /// A filled shape.
    fn polygon(&mut self, points: &[Point], colour: RGBColor, opacity: f64) -> Result<()>;
    /// A filled rectangle between two corners.
    fn rectangle(&mut self, corners: [Point; 2], colour: RGBColor, opacity: f64) -> Result<()>;
    /// A filled disc.
    fn disc(&mut self, centre: Point, radius: u32, colour: RGBColor) -> Result<()>;
    /// A text of `size` pixels; line ends and control characters are taken out.
    fn text(&mut self, at: Point, text: &str, size: u32, anchor: Anchor) -> Result<()>;
}

struct Area<B: DrawingBackend>(DrawingArea<B, Shift>);

fn pixel((x, y): Point) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

fn fault<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> Error {
    Error::new(error.to_string()).at("drawing")
}

impl<B: DrawingBackend> Surface for Area<B> {
    fn line(&mut self, points: &[Point], colour: RGBColor, width: u32) -> Result<()> {
        let path = PathElement::new(points.iter().map(|p| pixel(*p)).collect::<Vec<_>>(), colour.stroke_width(width));
        self.0.draw(&path).map_err(fault)
    }

    fn polygon(&mut self, points: &[Point], colour: RGBColor, opacity: f64) -> Result<()> {
        let shape = Polygon::new(points.iter().map(|p| pixel(*p)).collect::<Vec<_>>(), colour.mix(opacity).filled());
        self.0.draw(&shape).map_err(fault)
    }

    fn rectangle(&mut self, corners: [Point; 2], colour: RGBColor, opacity: f64) -> Result<()> {
        self.0.draw(&Rectangle::new(corners.map(pixel), colour.mix(opacity).filled())).map_err(fault)
    }

    fn disc(&mut self, centre: Point, radius: u32, colour: RGBColor) -> Result<()> {
        self.0.draw(&Circle::new(pixel(centre), radius, colour.filled())).map_err(fault)
    }

    fn text(&mut self, at: Point, text: &str, size: u32, anchor: Anchor) -> Result<()> {
        let (across, turn) = match anchor {
            Anchor::Start => (HPos::Left, FontTransform::None),
            Anchor::Middle => (HPos::Center, FontTransform::None),
            Anchor::End => (HPos::Right, FontTransform::None),
            Anchor::Upwards => (HPos::Center, FontTransform::Rotate270),
        };
        let style = ("sans-serif", size).into_font().transform(turn).color(&INK);
        let style = style.pos(Pos::new(across, VPos::Center));
        self.0.draw_text(&escape::drawn(text), &style, pixel(at)).map_err(fault)
    }
}

/// A drawing of a fixed size.
pub trait Figure {
    /// Columns and rows, pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it.
    fn draw(&self, surface: &mut dyn Surface) -> Result<()>;
}

/// A plot and where it belongs.
pub struct Plot {
    /// The file's name without its ending: letters, digits, `-` and `_` only.
    pub name: String,
    /// Number of the label in the evaluation; `None` for plots of all labels.
    pub label: Option<usize>,
    /// What a reader who cannot see it is told.
    pub words: String,
    /// The drawing.
    pub figure: Box<dyn Figure + Send + Sync>,
}

/// The figure as the text of an SVG file, its background transparent.
pub fn svg(figure: &dyn Figure) -> Result<String> {
    with_font();
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, figure.size()).into_drawing_area();
    let mut area = Area(area);
    figure.draw(&mut area)?;
    area.0.present().map_err(fault)?;
    drop(area);
    Ok(text)
}

/// The figure as a PNG file on white.
pub fn png(figure: &dyn Figure) -> Result<Vec<u8>> {
    with_font();
    let (width, height) = figure.size();
    let mut pixels = vec![255; (width * height * 3) as usize];
    let mut area = Area(BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area());
    figure.draw(&mut area)?;
    area.0.present().map_err(fault)?;
    drop(area);
    let mut file = Vec::new();
    image::codecs::png::PngEncoder::new(&mut file)
        .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(|e| Error::new(e.to_string()).at("drawing"))?;
    Ok(file)
}

/// Takes the embedded font, so that a figure is the same on every machine.
fn with_font() {
    static ONCE: Once = Once::new();
    // A font that cannot be read would show as a figure that cannot be drawn.
    ONCE.call_once(|| drop(register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())));
}
