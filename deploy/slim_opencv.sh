#!/bin/sh
# Takes out of an installed OpenCV what platestream never calls: its FFmpeg (video goes through
# PyAV) and its OpenBLAS (its matrices here are 3x3), 75 MB of 155. In the place of each library
# stands an empty one, for the loader; a function of it ends the process with a sentence.
#
#   slim_opencv.sh SITE_PACKAGES
#
# Needs nm, as and ld (binutils), on x86-64.
set -eu

cd "$1"
cv2=cv2/cv2.abi3.so
libs=opencv_python_headless.libs
work=$(mktemp -d)

nm -D --undefined-only "$cv2" | awk '{print $2}' >"$work/wanted"
for library in "$libs"/libavcodec-* "$libs"/libavformat-* "$libs"/libavutil-* \
  "$libs"/libswscale-* "$libs"/libopenblas*; do
  name=${library##*/}
  # what cv2 takes from it, as symbol or symbol@VERSION
  nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@@/@/' | sort >"$work/has"
  sort "$work/wanted" | comm -12 - "$work/has" >"$work/taken"
  {
    echo '.text'
    echo 'missing: mov $1, %eax; mov $2, %edi; lea text(%rip), %rsi; mov $length, %edx; syscall'
    echo '  mov $231, %eax; mov $70, %edi; syscall' # exit_group, EX_SOFTWARE
    echo '.section .rodata'
    printf '%s%s%s\n' 'text: .ascii "error: OpenCV was to use ' "${name%%-*}" \
      ', which this image is without\n"'
    echo '.set length, . - text'
    echo '.text'
    sed 's/@.*//' "$work/taken" | while read -r symbol; do
      echo ".globl $symbol; .type $symbol, @function; $symbol: jmp missing"
    done
  } >"$work/stub.s"
  as -o "$work/stub.o" "$work/stub.s"
  sed -n 's/.*@//p' "$work/taken" | sort -u | sed 's/$/ { global: *; };/' >"$work/versions"
  rm "$library"
  if [ -s "$work/versions" ]; then
    ld -shared -soname "$name" --version-script "$work/versions" -o "$library" "$work/stub.o"
  else
    ld -shared -soname "$name" -o "$library" "$work/stub.o"
  fi
done
rm -f "$libs"/libvpx-* "$libs"/libswresample-* "$libs"/libssl-* "$libs"/libcrypto-* \
  "$libs"/libdrm-* "$libs"/libgfortran-* "$libs"/libquadmath-*
rm -r "$work"
