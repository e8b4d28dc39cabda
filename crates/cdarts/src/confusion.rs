//! Which classes a network takes for which, as a table in the terminal and as a self-contained SVG picture.

use std::fmt::Write as _;

/// Most classes that a table in the terminal has room for.
const TABLE_CLASSES: usize = 12;
/// Width of a column of the table.
const COLUMN: usize = 6;

/// Images by class (row) and by what they were taken for (column); none where there are too many classes.
pub fn table(classes: &[String], confusion: &[Vec<usize>]) -> Option<String> {
    if classes.len() > TABLE_CLASSES {
        return None;
    }
    let width = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).max("taken for".len());
    let mut text = format!("{:<width$}", "taken for");
    for class in classes {
        let short: String = class.chars().take(COLUMN).collect();
        let _ = write!(text, "  {short:>COLUMN$}");
    }
    for (class, row) in classes.iter().zip(confusion) {
        let _ = write!(text, "\n{class:<width$}");
        for &images in row {
            let shown = if images == 0 { "·".to_owned() } else { images.to_string() };
            let _ = write!(text, "  {shown:>COLUMN$}");
        }
    }
    Some(text)
}

/// Sizes in pixels.
const MARGIN: f64 = 24.0;
const TITLE: f64 = 40.0;
const GAP: f64 = 8.0;
/// Of the side of a square with a number in it, and of one without.
const WIDE: f64 = 44.0;
const NARROW: f64 = 14.0;
/// Most classes whose squares hold numbers.
const NUMBERED_CLASSES: usize = 20;
/// Width of a letter as a share of the size of its font, rather too much than too little.
const LETTER: f64 = 0.62;

/// The table as a picture: the darker a square, the larger the share of its row's images.
pub fn svg(title: &str, classes: &[String], confusion: &[Vec<usize>]) -> String {
    let numbered = classes.len() <= NUMBERED_CLASSES;
    let (side, font) = if numbered { (WIDE, 14.0) } else { (NARROW, 11.0) };
    let longest = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0) as f64;
    let names = longest * font * LETTER + GAP;
    let squares = side * classes.len() as f64;
    let (left, top) = (MARGIN + names, MARGIN + TITLE + names);
    let title_width = title.chars().count() as f64 * 16.0 * LETTER;
    let width = (left + squares + MARGIN).max(title_width + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"{font}\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"{y:.0}\" font-size=\"16\" font-weight=\"600\" fill=\"#111\">{title}</text>\n",
        height = top + squares + MARGIN,
        title = escaped(title),
        y = MARGIN + 12.0,
    );
    for (place, class) in classes.iter().enumerate() {
        let middle = (place as f64 + 0.5) * side;
        let name = escaped(class);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" dominant-baseline=\"central\" fill=\"#111\">{name}</text>",
            left - GAP,
            top + middle
        );
        let _ = writeln!(
            svg,
            "<text transform=\"translate({:.1} {:.1}) rotate(-90)\" dominant-baseline=\"central\" fill=\"#111\">{name}</text>",
            left + middle,
            top - GAP
        );
    }
    for (row, images) in confusion.iter().enumerate() {
        let all = images.iter().sum::<usize>().max(1) as f64;
        for (column, &images) in images.iter().enumerate() {
            let place = [left + column as f64 * side, top + row as f64 * side];
            let what = format!("{} taken for {}: {images}", classes[row], classes[column]);
            square(&mut svg, place, side, images as f64 / all, row == column, &what);
            if numbered && images > 0 {
                let ink = if images as f64 / all > 0.5 { "#fff" } else { "#111" };
                let [x, y] = place.map(|edge| edge + side / 2.0);
                let _ = writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" dominant-baseline=\"central\" \
                     font-size=\"12\" fill=\"{ink}\">{images}</text>"
                );
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Blue where the class is named rightly, red where it is not; told apart by place too, for those who see no colours.
fn square(svg: &mut String, [x, y]: [f64; 2], side: f64, share: f64, right: bool, what: &str) {
    let colour = if right { "#1d4ed8" } else { "#b91c1c" };
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side}\" height=\"{side}\" fill=\"{colour}\" \
         fill-opacity=\"{share:.3}\" stroke=\"#ddd\" stroke-width=\"0.5\"><title>{}</title></rect>",
        escaped(what)
    );
}

/// Names of classes are names of folders and may hold any character.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: usize) -> (Vec<String>, Vec<Vec<usize>>) {
        ((0..count).map(|class| format!("class {class}")).collect(), vec![vec![1; count]; count])
    }

    #[test]
    fn small_tables_are_printed_and_large_ones_are_not() {
        let classes = ["cat".to_owned(), "a long name".to_owned()];
        let shown = table(&classes, &[vec![12, 0], vec![3, 4]]).unwrap();
        assert_eq!(
            shown,
            "taken for       cat  a long\ncat              12       ·\na long name       3       4"
        );
        let (classes, confusion) = named(13);
        assert_eq!(table(&classes, &confusion), None);
    }

    #[test]
    fn pictures_hold_every_square_and_escape_names() {
        let (mut classes, confusion) = named(2);
        classes[0] = "cats & <dogs>".to_owned();
        let drawn = svg("what is taken for what", &classes, &confusion);
        assert_eq!(drawn.matches("<rect x=").count(), 4);
        assert!(drawn.contains("cats &amp; &lt;dogs&gt; taken for class 1: 1") && !drawn.contains("<dogs>"));
        let (classes, confusion) = named(100);
        assert!(
            !svg("t", &classes, &confusion).contains("text-anchor=\"middle\""),
            "no numbers in narrow squares"
        );
    }
}
