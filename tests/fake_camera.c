/* A V4L2 camera that there is not, for whoever is started with LD_PRELOAD=this library.
 *
 * FAKE_CAMERA=/dev/video77 names it. Opening it gives a memory file; the ioctls that FFmpeg makes
 * on it are answered here. It offers YUYV of 320x180 and 640x360, and says what it was asked for
 * on stderr. Pictures are grey, brighter with each, 20 a second.
 *
 * FAKE_CAMERA_UNPLUG=/path: as soon as that file is there, the camera is unplugged (ENODEV), and it
 * cannot be opened (ENOENT) until the file has gone. FAKE_CAMERA_ERROR=16 is what opening fails with.
 * FAKE_CAMERA_RATE=0: it does not say how many pictures come a second.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 4, PAGES = 113 * 4096 };

static int camera = -1, width = 320, height = 180, taken;
static int queued[BUFFERS], waiting; /* buffers to be filled, the first first */

static int unplugged(void) {
    const char *flag = getenv("FAKE_CAMERA_UNPLUG");
    return flag && access(flag, F_OK) == 0;
}

static int fail(int number) {
    errno = number;
    return -1;
}

static int plug_in(void) {
    const char *number = getenv("FAKE_CAMERA_ERROR");
    if (number) return fail(atoi(number));
    if (unplugged()) return fail(ENOENT);
    camera = memfd_create("camera", 0);
    if (ftruncate(camera, (off_t)BUFFERS * PAGES)) return -1;
    taken = waiting = 0;
    return camera;
}

static int is_camera(const char *path) {
    const char *name = getenv("FAKE_CAMERA");
    return name && !strcmp(path, name);
}

#define OPEN(NAME)                                                          \
    int NAME(const char *path, int flags, ...) {                            \
        va_list more;                                                       \
        va_start(more, flags);                                              \
        int mode = va_arg(more, int);                                       \
        va_end(more);                                                       \
        if (is_camera(path)) return plug_in();                              \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #NAME);      \
        return real(path, flags, mode);                                     \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    if (file == camera && file >= 0) camera = -1;
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    return real(file);
}

static void set(struct v4l2_format *format) {
    struct v4l2_pix_format *pix = &format->fmt.pix;
    pix->pixelformat = V4L2_PIX_FMT_YUYV;
    pix->field = V4L2_FIELD_NONE;
    pix->bytesperline = 2 * pix->width;
    pix->sizeimage = 2 * pix->width * pix->height;
}

static int offer(struct v4l2_format *format) {
    struct v4l2_pix_format *pix = &format->fmt.pix;
    int known = (pix->width == 320 && pix->height == 180) || (pix->width == 640 && pix->height == 360);
    if (!known || pix->pixelformat != V4L2_PIX_FMT_YUYV) return fail(EINVAL);
    width = pix->width;
    height = pix->height;
    fprintf(stderr, "camera: %dx%d\n", width, height);
    set(format);
    return 0;
}

static int rate(struct v4l2_streamparm *asked, int sets) {
    struct v4l2_fract *each = &asked->parm.capture.timeperframe;
    int known = !getenv("FAKE_CAMERA_RATE");
    asked->parm.capture.capability = known ? V4L2_CAP_TIMEPERFRAME : 0;
    if (sets) fprintf(stderr, "camera: %u/%u s a picture\n", each->numerator, each->denominator);
    *each = (struct v4l2_fract){known ? 1 : 0, known ? 20 : 0};
    return 0;
}

static int take(struct v4l2_buffer *buffer) {
    struct timespec pause = {0, 50 * 1000 * 1000}, now;
    nanosleep(&pause, NULL);
    if (unplugged()) return fail(ENODEV);
    if (!waiting) return fail(EAGAIN);
    buffer->index = queued[0];
    memmove(queued, queued + 1, --waiting * sizeof *queued);
    buffer->bytesused = 2 * width * height;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    char *grey = malloc(buffer->bytesused);
    memset(grey, 128, buffer->bytesused);
    for (unsigned at = 0; at < buffer->bytesused; at += 2) grey[at] = (char)(30 + taken % 200);
    if (pwrite(camera, grey, buffer->bytesused, (off_t)buffer->index * PAGES) < 0) return -1;
    free(grey);
    taken++;
    return 0;
}

static int answer(unsigned long request, void *what) {
    if (unplugged()) return fail(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *it = what;
        memset(it, 0, sizeof *it);
        it->capabilities = it->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_ENUMINPUT:
        ((struct v4l2_input *)what)->std = 0;
        return 0;
    case VIDIOC_G_INPUT:
        *(int *)what = 0;
        return 0;
    case VIDIOC_G_FMT: {
        struct v4l2_format *format = what;
        format->fmt.pix.width = width;
        format->fmt.pix.height = height;
        set(format);
        return 0;
    }
    case VIDIOC_S_FMT:
        return offer(what);
    case VIDIOC_G_PARM:
        return rate(what, 0);
    case VIDIOC_S_PARM:
        return rate(what, 1);
    case VIDIOC_REQBUFS:
        ((struct v4l2_requestbuffers *)what)->count = BUFFERS;
        return 0;
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = what;
        buffer->length = 2 * width * height;
        buffer->m.offset = buffer->index * PAGES;
        return 0;
    }
    case VIDIOC_QBUF:
        queued[waiting++] = ((struct v4l2_buffer *)what)->index;
        return 0;
    case VIDIOC_DQBUF:
        return take(what);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return 0;
    default:
        return fail(ENOTTY);
    }
}

int ioctl(int file, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *what = va_arg(more, void *);
    va_end(more);
    if (file == camera && camera >= 0) return answer(request & 0xffffffffUL, what);
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return real(file, request, what);
}
