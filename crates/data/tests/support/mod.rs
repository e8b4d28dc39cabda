//! Data sets in the formats that others ship, written byte by byte.
#![allow(dead_code, missing_docs, reason = "each test uses its part")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Writes `bytes` to `folder`/`name`, making folders on the way.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A `.npy` file as `numpy.save` writes it.
pub fn npy(descr: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let axes = if shape.len() == 1 { axes.trim_end() } else { axes.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    let padding = 63 - (10 + text.len()) % 64;
    text += &" ".repeat(padding);
    text.push('\n');
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], text.as_bytes(), values].concat()
}

/// An archive as `numpy.savez` or, compressed, `numpy.savez_compressed` writes it.
pub fn npz(entries: &[(&str, Vec<u8>)], compressed: bool) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let method = if compressed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    for (name, bytes) in entries {
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default().compression_method(method))
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// An idx file of bytes.
pub fn idx(shape: &[usize], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|&axis| bytes.extend(u32::try_from(axis).unwrap().to_be_bytes()));
    bytes.extend(values);
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A pickled text, as Python 2 wrote it.
fn pickled_text(text: &str) -> Vec<u8> {
    [b"U", &[text.len() as u8][..], text.as_bytes()].concat()
}

/// A batch of CIFAR's Python version, as Python 2 wrote it: the labels under `key` and the planes of `[n, 3072]`.
pub fn cifar_batch(key: &str, labels: &[u8], planes: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = labels.iter().flat_map(|&label| [b'K', label]).collect();
    let images = u16::try_from(planes.len() / 3072).unwrap().to_le_bytes();
    [
        b"\x80\x02}q\x01(".as_slice(),
        &pickled_text("batch_label"),
        b"q\x02",
        &pickled_text("training batch 1 of 5"),
        b"q\x03",
        &pickled_text(key),
        b"q\x04]q\x05(",
        &numbers,
        b"e",
        &pickled_text("data"),
        b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01bq\n\x87q\x0bRq\x0c(K\x01M",
        &images,
        b"M\x00\x0C\x86q\rcnumpy\ndtype\nq\x0eU\x02u1q\x0fK\x00K\x01\x87q\x10Rq\x11(K\x03U\x01|q\x12NNNJ\xFF\xFF\xFF\xFFJ",
        b"\xFF\xFF\xFF\xFFK\x00tq\x13b\x89T",
        &u32::try_from(planes.len()).unwrap().to_le_bytes(),
        planes,
        b"q\x14tq\x15bu.",
    ]
    .concat()
}

/// The file of names of CIFAR's Python version.
pub fn cifar_names(key: &str, names: &[String]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|name| pickled_text(name)).collect();
    [b"\x80\x02}(".as_slice(), &pickled_text(key), b"](", &names, b"eu."].concat()
}
