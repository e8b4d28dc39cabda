//! What the networks made of the published genotypes cost (facts section 4).

/// Name, CIFAR-10 parameters and multiply-adds in tenths of a million, CIFAR-100 parameters, ImageNet
/// parameters and multiply-adds, parameters of the search-time evaluation network.
pub const TABLE: [(&str, u64, u64, u64, u64, u64, u64); 10] = [
    ("cdarts-cifar", 3_859_318, 5901, 3_911_248, 5_493_856, 5989, 805_306),
    ("cdarts-imagenet", 4_669_534, 7312, 4_721_464, 6_360_256, 7129, 1_011_930),
    ("darts-v1", 3_169_414, 5010, 3_221_344, 4_510_432, 5059, 654_522),
    ("darts-v2", 3_349_342, 5284, 3_401_272, 4_718_752, 5299, 692_826),
    ("pdarts", 3_433_798, 5322, 3_485_728, 4_944_352, 5428, 719_290),
    ("pcdarts-cifar", 3_634_678, 5567, 3_686_608, 5_270_560, 5711, 769_018),
    ("pcdarts-imagenet", 3_721_510, 5705, 3_773_440, 5_342_464, 5816, 779_130),
    ("cdarts-2019-cifar", 3_889_126, 6105, 3_941_056, 5_343_712, 6021, 807_738),
    ("cdarts-2019-imagenet", 4_457_638, 7091, 4_509_568, 5_997_088, 6841, 963_898),
    ("cdarts-2020-cifar", 4_003_822, 6195, 4_055_752, 5_666_560, 6224, 856_346),
];

/// Rounded.
pub fn tenths_of_a_million(macs: u64) -> u64 {
    (macs + 50_000) / 100_000
}
