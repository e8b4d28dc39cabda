# The menu: `just` lists what there is to do.

# List the recipes
default:
    @just --list

# Build the program
build:
    cargo build --release

# Run every test
test:
    cargo test --release

# Check format and lints
lint:
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings

# Build the API documentation; broken links are errors
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps

# Search a network for the built-in handwritten digits; `just search-digits --json` and the like pass options on
search-digits *options:
    cargo run --release -- search {{ options }}

# Check licences, sources and advisories of the dependencies (needs cargo-deny)
audit:
    cargo deny check

# Everything that decides whether a change is good
ci:
    bash .ci/run

# Run the kernels' tests under AddressSanitizer
sanitize *options:
    tools/sanitize {{ options }}
